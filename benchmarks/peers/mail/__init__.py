"""Other ways to send the same mails."""
