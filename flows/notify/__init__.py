"""Notifications: webhooks, Slack and e-mail, once each, and never at the run's expense."""
