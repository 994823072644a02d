"""One study over a folder of data sets, and what it says of data sets like these."""
