"""Mutation tests: do unit tests fail when a line of the code is wrong?"""
