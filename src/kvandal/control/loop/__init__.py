"""The loop over the live site: observe, envelope, decide, act, account."""
