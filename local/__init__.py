"""Vitalis on one machine: an embedded PostgreSQL and the runner that starts every process."""
