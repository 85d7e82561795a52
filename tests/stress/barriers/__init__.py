"""`make barriers`: each entry of the lists takes one piece of the program away; the test that it names must fail."""
