"""bx24app/calls/outbox"""
