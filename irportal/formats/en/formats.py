"""Dates in English as the page has always written them: 24 October 2025."""

DATE_FORMAT = "j F Y"
MONTH_DAY_FORMAT = "j F"
