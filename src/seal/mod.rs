//! Pure cryptography of sealed values. Randomness is handed in; nothing here does I/O.
