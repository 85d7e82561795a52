"""tests/calls/click_to_call"""
