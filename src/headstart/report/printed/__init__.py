"""A run as files for print: the page as PDF, figures as PDF or PNG."""
