//! Compiled components on disk, so that a restart compiles nothing.
//!
//! Loading compiled code means running it outside of any sandbox, so a file is loaded only if this
//! node wrote it: each begins with a MAC (keyed BLAKE3) whose key lies in the same 0700 folder.
//! Whatever else is found there is compiled anew and overwritten.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use althing_types::Hash;
use wasmtime::Engine;
use wasmtime::component::Component;

const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;
/// Most files in the folder; the oldest give way.
const FILES_MAX: usize = 256;

/// The folder of the cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct CacheError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
    /// Names the compiler, its version and its settings.
    compiler: u64,
}

impl Cache {
    pub(crate) fn open(folder: &Path, engine: &Engine) -> Result<Self, CacheError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| CacheError { action, path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed("make", folder))?;
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(folder, private).map_err(failed("close to others", folder))?;
        let path = folder.join("key");
        let key = read_or_make_key(&path).map_err(failed("read or make", &path))?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { folder: folder.to_owned(), key, compiler: hasher.finish() })
    }

    /// The compiled component, if this node has written it with this compiler.
    pub(crate) fn load(&self, engine: &Engine, module: &Hash) -> Option<Component> {
        let bytes = fs::read(self.path(module)).ok()?;
        let (mac, code) = bytes.split_first_chunk::<MAC_BYTES>()?;
        // The comparison of BLAKE3's hashes takes constant time.
        if self.mac(module, code) != *mac {
            return None;
        }
        // SAFETY: the MAC shows that this node wrote these bytes for this module and this compiler
        // and that nothing has changed in them since; its key is readable by this user only.
        #[expect(unsafe_code, reason = "compiled code cannot be loaded otherwise")]
        unsafe {
            Component::deserialize(engine, code).ok()
        }
    }

    /// The same machine code for another engine of the same settings; nothing if it does not fit
    /// into that engine's slots.
    pub(crate) fn carry(component: &Component, engine: &Engine) -> Option<Component> {
        let code = component.serialize().ok()?;
        // SAFETY: this process compiled or loaded the component, and its code comes from there.
        #[expect(unsafe_code, reason = "compiled code cannot be loaded otherwise")]
        unsafe {
            Component::deserialize(engine, &code).ok()
        }
    }

    /// Keeps a compiled component; a cache that cannot be written costs time, nothing else.
    pub(crate) fn keep(&self, module: &Hash, component: &Component) -> io::Result<()> {
        let code = component.serialize().map_err(io::Error::other)?;
        self.make_room()?;
        let path = self.path(module);
        // Each writer has a file of its own until it is complete.
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let partial = path.with_extension(format!("{:016x}.partial", u64::from_le_bytes(random)));
        let mut file = private_file(&partial)?;
        let mac = self.mac(module, &code);
        let written = file.write_all(mac.as_bytes()).and_then(|()| file.write_all(&code));
        let kept = written.and_then(|()| fs::rename(&partial, &path));
        if kept.is_err() {
            fs::remove_file(&partial)?;
        }
        kept
    }

    fn path(&self, module: &Hash) -> PathBuf {
        self.folder.join(format!("{module}-{:016x}.cwasm", self.compiler))
    }

    fn mac(&self, module: &Hash, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&module.0).update(&self.compiler.to_le_bytes()).update(code);
        hasher.finalize()
    }

    fn make_room(&self) -> io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name() != "key" {
                files.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        files.sort();
        let surplus = (files.len() + 1).saturating_sub(FILES_MAX);
        files.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn read_or_make_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    match File::open(path) {
        Ok(mut file) if file.metadata()?.len() == KEY_BYTES as u64 => {
            file.read_exact(&mut key)?;
            return Ok(key);
        }
        // A torn key opens nothing: everything under it is compiled anew.
        Ok(_) => fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    private_file(path)?.write_all(&key)?;
    Ok(key)
}
