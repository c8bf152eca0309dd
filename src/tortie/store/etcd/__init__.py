"""The cluster's store: etcd v3, through the JSON gateway that every member serves."""
