//! Socket, authentication, authorization, operation handlers.
