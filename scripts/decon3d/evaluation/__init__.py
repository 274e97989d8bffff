"""How good a restoration is: metric records with truth, and statistics over subjects.

`full_reference` measures, `records` is what travels to the tables, `statistics` compares methods.
"""
