//! Django itself as the app: its own migrations, run by its own command, one schema and one database.
//!
//! Needs Python and its package registry. Without them the test says so and passes on a developer's machine; where
//! `CI` is set it fails.

use std::path::{Path, PathBuf};

use crate::program::{Home, finish};

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A virtual environment with the example's requirements, kept between runs.
async fn environment() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("django-venv");
    let done = venv.join("installed");
    if done.exists() {
        return Some(venv);
    }
    let mut make = tokio::process::Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&venv);
    let mut fill = tokio::process::Command::new(venv.join("bin/pip"));
    fill.args(["install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(checkout().join("examples/django/requirements.txt"));
    for mut command in [make, fill] {
        let ended = command.output().await;
        if !ended.as_ref().is_ok_and(|output| output.status.success()) {
            assert!(std::env::var_os("CI").is_none(), "Python or its packages cannot be had: {ended:?}");
            eprintln!("SKIPPED: Python or its packages cannot be had: {ended:?}");
            return None;
        }
    }
    std::fs::write(done, "").unwrap();
    Some(venv)
}

#[tokio::test]
async fn djangos_own_migrations_build_a_schema_and_a_database() {
    let Some(venv) = environment().await else { return };
    let home = Home::new();
    // The control plane runs as root or as a developer, the command of the app as its child: a copy is enough.
    let project = home.path("django");
    let copied =
        std::process::Command::new("cp").arg("-r").arg(checkout().join("examples/django")).arg(&project).status();
    assert!(copied.unwrap().success());
    let path = format!("{}:{}", venv.join("bin").display(), std::env::var("PATH").unwrap());
    let mut dev = home.dev_process_with(&[], |command| {
        command.env("PATH", &path).current_dir(&project);
    });
    let ready = dev.until("ready").await;
    dev.ready = ready;

    for part in ["manifests/00-platform.yaml", "manifests/tenants"] {
        let file = project.join(part);
        let ended = home.run(&["apply", "-f", file.to_str().unwrap()]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    for (slug, level) in [("bluth", "schema"), ("wonka", "database")] {
        let tenant = home.json(&["get", "tenants", slug]).await;
        assert_eq!(tenant["status"]["state"], "active", "{tenant}");
        assert_eq!(tenant["status"]["placement"]["isolation"], level);
        let tables = tables(&home, &dev, slug).await;
        for table in ["auth_user", "django_session", "django_content_type", "django_migrations", "django_admin_log"] {
            assert!(tables.contains(&table.to_owned()), "{slug} has {table}: {tables:?}");
        }
    }
    // The same app in shared tables would put customers' rows side by side with nothing between them.
    let shared = project.join("shared.yaml");
    let plan =
        "apiVersion: tenantry.dev/v1\nkind: Plan\nmetadata: { name: django-shared }\nspec: { isolation: shared }\n";
    let tenant = std::fs::read_to_string(project.join("manifests/tenants/bluth.yaml")).unwrap();
    let tenant = tenant.replace("bluth", "gobias").replace("Bluth", "Gobias").replace("django-schema", "django-shared");
    std::fs::write(&shared, format!("{plan}---\n{tenant}")).unwrap();
    let refused = home.run(&["apply", "-f", shared.to_str().unwrap()]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("TEN-0016") && refused.err.contains("tenant key"), "{}", refused.err);
    assert_eq!(dev.stop().await, 0);
}

/// The tables of a tenant, asked for by the server's administrator.
async fn tables(home: &Home, dev: &crate::program::Dev, slug: &str) -> Vec<String> {
    let described = home.json(&["place", slug, "--explain"]).await;
    let route = &described["route"];
    let password = std::fs::read_to_string(home.path("data/postgres.password")).unwrap();
    let mut psql = tokio::process::Command::new("psql");
    let sql = format!("SELECT tablename FROM pg_tables WHERE schemaname = '{}'", route["schema"].as_str().unwrap());
    psql.args([
        "-X",
        "-A",
        "-t",
        "-h",
        "127.0.0.1",
        "-U",
        "postgres",
        "-d",
        route["database"].as_str().unwrap(),
        "-c",
        &sql,
    ])
    .env("PGPASSWORD", password.trim())
    .env("PGPORT", dev.postgres_port().to_string());
    let ended = finish(psql).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.out.lines().map(str::to_owned).collect()
}
