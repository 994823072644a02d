"""Programs whose numbers tests compare with, and the cases they are run on."""
