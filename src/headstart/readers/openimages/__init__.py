"""Open Images: tables of millions of rows."""
