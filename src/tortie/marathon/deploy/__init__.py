"""Deployments: the plan, its steps, and what each step wants next."""
