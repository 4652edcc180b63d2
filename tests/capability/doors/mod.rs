//! Other doors to the same table: a database under another name, the server's own files,
//! temporary names, publications, ways to other servers (P1, P2, P3).

mod databases;
mod files;
mod links;
mod temporary;
