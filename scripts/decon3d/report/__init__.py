"""From results to a page: `tables`, `figures` and `page`, made from whatever exists.

`views` reads what is shown, `plots` draws it, `figures` decides which drawings there are;
`headline_table` compares the methods, `run_status` lists what is missing and what was used.
"""
