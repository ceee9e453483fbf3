"""One module a kind of credential: mint, locate, prove, revoke."""
