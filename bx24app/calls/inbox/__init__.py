"""The inbox: a notification of a PBX is verified and stored once before it is answered."""
