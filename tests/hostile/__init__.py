"""Members of a mesh that mean harm: they know a password, and play any frames in any order.

    frames   what a liar may say, drawn by a seed: from nonsense to well-formed lies
    game     a mesh of honest nodes, liars among them, and peace afterwards: one seed, one game

``make games GAMES=10000`` plays games, ``python -m tests.hostile --game 7`` one of them again.
"""
