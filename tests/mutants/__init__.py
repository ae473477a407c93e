"""Mutation tests: are there unit tests that fail when a line of the code is wrong?"""
