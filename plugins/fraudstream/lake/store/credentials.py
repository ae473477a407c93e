"""Tells a temporary failure to renew Google's credentials from one that an operator must resolve."""

from google.auth import exceptions as auth


def renewal_may_pass(error: BaseException) -> bool:
    """Whether an error means that the server that renews credentials didn't answer, or asked to retry.

    The library raises the same error if the metadata server is unavailable for a second and if credentials are revoked.
    """
    if isinstance(error, auth.RefreshError):
        return bool(error.retryable) or isinstance(error.__cause__, auth.TransportError)
    return isinstance(error, auth.TransportError)
