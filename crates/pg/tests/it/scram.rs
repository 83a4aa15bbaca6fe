//! A verifier made here is a password there.

use secrecy::{ExposeSecret as _, SecretString};
use tenantry_pg::{Ident, PgKind, Pool, PoolOptions, Sql, scram};
use tenantry_testkit::pg::server;

use crate::{fresh, pool_of, target};

#[tokio::test]
async fn the_server_accepts_it_and_never_sees_the_password() {
    let db = fresh();
    let admin = pool_of(&db, 1).get().await.unwrap();
    let role = Ident::new(db.name()).unwrap();
    for password in ["plain", "with 'quotes' and \\ backslash", "pässwörd ﬁ", "\u{a0}x"] {
        // The log is everybody's: only a password of this test alone can be looked for in it.
        let password = SecretString::from(format!("{password} {}", db.name()));
        let verifier = scram::verifier(&password);
        assert!(verifier.starts_with("SCRAM-SHA-256$4096:"), "{verifier}");
        let create = Sql::new("CREATE ROLE ").ident(&role).push(" LOGIN PASSWORD").literal(&verifier);
        admin.batch(&create).await.unwrap();
        let login = target(&db.url()).with_user(role.as_str(), &password);
        Pool::new(login.clone(), PoolOptions::default()).get().await.unwrap();
        let wrong = Pool::new(login.with_user(role.as_str(), &"wrong".into()), PoolOptions::default());
        assert_eq!(wrong.get().await.err().map(|error| error.kind()), Some(PgKind::Permission));
        admin.batch(&Sql::new("DROP ROLE ").ident(&role)).await.unwrap();
        assert!(!server().log().contains(password.expose_secret()));
    }
}
