"""Sign-in through the hospital's identity provider by OpenID Connect."""
