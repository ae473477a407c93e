"""Texts of the peers' mails, about as long as a notice's."""

_LINES = ("Type", "Amount", "From", "To", "Time", "Reference")
_CELL = '<tr><td style="padding:4px 16px 4px 0;color:#555555">{name}</td><td><strong>{{value}}</strong></td></tr>\n'

TEXT = "Dear customer,\n\nthis transaction was made:\n\n" + "".join(f"{name}: {{value}}\n" for name in _LINES)
HTML = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Your transaction</title></head>\n'
    '<body style="margin:0;padding:24px;font-family:Arial,sans-serif;font-size:16px;color:#1a1a1a">\n'
    "<p>Dear customer,</p>\n<p>this transaction was made:</p>\n<table>\n"
    + "".join(_CELL.format(name=name) for name in _LINES)
    + "</table>\n<p>If you know nothing of it, call us.</p>\n</body></html>\n"
)


def values(number: int) -> dict[str, str]:
    """What the texts are filled with."""
    return {"value": f"{number}.25 of C{number}"}
