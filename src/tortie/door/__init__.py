"""The cluster's entry door: one address for every HTTP interface (Admin Router's paths), log-in and the front page."""
