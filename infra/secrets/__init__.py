"""Secrets that the program makes itself: passwords, a CA of the stack's own, certificates.

They are dynamic resources, made once and kept in Pulumi's state, encrypted: no plugin beyond
Pulumi's own is needed, and a second `up` makes nothing new.
"""
