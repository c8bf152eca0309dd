"""Offers of the Mesos master: matching, and the tasks made from them."""
