"""Schemas that let a message's fields use the types of other libraries."""
