"""Sends mails with smtplib as scripts do: an EmailMessage and a connection for each mail. Arguments: port, mails."""

import smtplib
import sys
from email.message import EmailMessage

from benchmarks.harness.outcome import timed
from benchmarks.peers.mail.texts import Notices

if __name__ == "__main__":
    notices = Notices()
    with timed() as work:
        for number in range(int(sys.argv[2])):
            subject, text, html = notices(number)
            message = EmailMessage()
            message["From"] = "Example Bank <no-reply@bank.example>"
            message["To"] = f"C{number}@example.com"
            message["Subject"] = subject
            message.set_content(text)
            message.add_alternative(html, subtype="html")
            with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as server:
                server.send_message(message)
            work.items += 1
