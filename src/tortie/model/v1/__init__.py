"""The v1 form (`apiVersion: v1`, calicoctl 1.x) of the v3 resources. `forms` is the way in."""
