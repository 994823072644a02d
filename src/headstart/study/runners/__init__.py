"""What each kind of job does: thin functions between the store and the library."""
