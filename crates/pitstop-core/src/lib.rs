//! What is wrong with a Python environment's native code, and what would mend it: pure logic, no I/O.
