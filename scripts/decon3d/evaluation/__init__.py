"""The quality of restorations: metric records, and statistics over subjects.

`full_reference` measures with truth, `records` holds the values for the tables, `statistics`
compares methods.
"""
