//! hosho: the back end of Japanese electronic surety (電子保証) for public works.

