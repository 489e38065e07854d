"""A small shop: carts, orders, payments and stock, each on streams of its own.

Read in this order: `messages`, `carts`, `orders`, `payments`, `stock`, `listing`, `sales`, `shop`;
`command_file`, `work`, `recount` and `report` are what the demonstration does with them.
"""
