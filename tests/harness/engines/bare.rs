//! runc and crun as somebody calls them by hand, each container a bundle.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::stage::{Stage, without_hybrid_cgroups};
use super::{Engine, debian};
use crate::harness::process::{Finished, Run, alone};
use crate::harness::{Missing, tools};

/// The configuration that runc itself makes, for a command in the stage's root.
///
/// # Errors
/// runc is not installed.
pub(crate) fn specification(stage: &Stage, command: &[&str]) -> Result<Value, Missing> {
    let runc = tools::find("runc")?;
    let dir = stage.at("specification");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).unwrap();
    let spec = [runc.as_os_str(), "spec".as_ref()];
    Run::on_host().in_dir(&dir).run(&spec).succeeded();
    let text = fs::read_to_string(dir.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = json!(command);
    config["root"]["path"] = stage.root().to_str().unwrap().into();
    if stage.debian().is_some() {
        let user: u32 = debian::USER.parse().unwrap();
        config["process"]["user"] = json!({ "uid": user, "gid": user });
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.push(
            json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
                            "options": ["mode=1777"] }),
        );
        mounts.push(
            json!({ "destination": "/mnt", "type": "bind", "source": stage.at("mnt"),
                            "options": ["rbind", "ro"] }),
        );
    }
    Ok(config)
}

/// A runtime behind elsewhen. Dropped, it deletes its containers.
pub(crate) struct Bare {
    before: Vec<OsString>,
    dir: PathBuf,
    config: Value,
    started: RefCell<Vec<String>>,
}

impl Bare {
    /// With this real runtime.
    ///
    /// # Errors
    /// It is not installed, or runc is not.
    pub(crate) fn new(stage: &Stage, runtime: &str) -> Result<Self, Missing> {
        let script = stage.runtime(runtime)?;
        let mut before = vec![script.into(), "--root".into(), stage.at("state").into()];
        without_hybrid_cgroups(&mut before);
        Ok(Self {
            before,
            dir: stage.at(""),
            config: specification(stage, &[])?,
            started: RefCell::default(),
        })
    }

    /// What no other test calls its container: the name of the control group.
    fn id(&self, name: &str) -> String {
        format!("{}-{name}", self.dir.file_name().unwrap().display())
    }

    fn bundle(&self, name: &str, offsets: &[(&str, &str)], command: &[&str]) -> PathBuf {
        let mut config = self.config.clone();
        config["process"]["args"] = json!(command);
        for (clock, word) in offsets {
            config["annotations"][format!("org.elsewhen.{clock}")] = json!(word);
        }
        let bundle = self.dir.join(name);
        fs::create_dir_all(&bundle).unwrap();
        fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        self.started.borrow_mut().push(name.to_owned());
        bundle
    }

    fn words(&self, words: &[&str]) -> Vec<OsString> {
        let words = words.iter().map(OsString::from);
        self.before.iter().cloned().chain(words).collect()
    }

    fn go_on(&self, name: &str) {
        let bundle = self.dir.join(name);
        let bundle = bundle.to_str().unwrap();
        let words = self.words(&["run", "--detach", "--bundle", bundle, &self.id(name)]);
        // The container keeps its starter's files.
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        assert!(alone(|| command.status()).unwrap().success(), "{words:?}");
    }

    fn delete(&self, name: &str) -> Finished {
        Run::on_host().run(&self.words(&["delete", "--force", &self.id(name)]))
    }
}

impl Engine for Bare {
    fn run(&self, offsets: &[(&str, &str)], command: &[&str]) -> Finished {
        let bundle = self.bundle("once", offsets, command);
        let bundle = bundle.to_str().unwrap();
        let words = self.words(&["run", "--bundle", bundle, &self.id("once")]);
        Run::on_host().limit(240).run(&words)
    }

    fn start(&self, name: &str, offsets: &[(&str, &str)], command: &[&str]) {
        self.bundle(name, offsets, command);
        self.go_on(name);
    }

    fn exec(&self, name: &str, command: &[&str]) -> Finished {
        // crun 1.8 takes root for the user otherwise.
        let user = format!("--user={}", self.config["process"]["user"]["uid"]);
        let id = self.id(name);
        let words = [&["exec", &user, &id], command].concat();
        Run::on_host().limit(240).run(&self.words(&words))
    }

    fn restart(&self, name: &str) {
        self.delete(name).succeeded();
        self.go_on(name);
    }

    fn remove(&self, name: &str) {
        self.delete(name).succeeded();
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        for name in self.started.borrow().iter() {
            self.delete(name);
        }
    }
}
