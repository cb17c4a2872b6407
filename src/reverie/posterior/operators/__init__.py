"""Operators: how measurements come about, one a file; `discover(operators, Operator)` lists them."""
