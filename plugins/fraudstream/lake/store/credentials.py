"""Google's credentials that can't be renewed now: for a moment, or until an operator changes something."""

from google.auth import exceptions as auth


def renewal_may_pass(error: BaseException) -> bool:
    """Whether the server that renews them did not answer, or asked to retry.

    The library has one error for a metadata server that is away for a second and for credentials that were revoked.
    """
    if isinstance(error, auth.RefreshError):
        return bool(error.retryable) or isinstance(error.__cause__, auth.TransportError)
    return isinstance(error, auth.TransportError)
