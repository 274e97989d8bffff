"""From results to a page: `tables`, `figures` and `page`, made from whatever exists.

`views` reads what is shown, `plots` draws it, `figures` decides which drawings there are;
`headline` puts the comparison into words, `existing` tells what is missing or was used.
"""
