"""`calicoctl`: the command grammars of the eras on the one store."""
