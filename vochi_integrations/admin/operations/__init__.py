"""What an administrator does, apart from how it is asked for: the pages and the JSON API call the same functions."""
