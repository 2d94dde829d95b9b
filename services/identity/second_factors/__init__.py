"""The second factor of a log-in: an authenticator app, passkeys, recovery codes.

A log-in with the right password is answered with a challenge if the person has
a factor; `log_in` completes it. What changes the factors asks for a proof in
the same request (`proof`), so that a stolen access token changes none.
"""
