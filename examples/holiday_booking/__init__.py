"""A holiday is a flight, a hotel and a car, or nothing: one workflow, written in two ways.

`single_stream` goes step by step in one stream; `multi_stream` asks for all three at once, on
streams of their own, and joins the answers. Both undo what was booked when a part is not to be had,
and both come to the same outcome.
"""
