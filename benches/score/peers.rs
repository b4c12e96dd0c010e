//! The peers' C libraries, opened at run time: one row or several, raw scores, one thread.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;

/// Scores rows that lie one after another.
pub trait Peer {
    fn score(&mut self, rows: &[f64], count: usize, raw: &mut [f64]);
}

const WIDTH: usize = 30;

struct Library(*mut c_void);

impl Library {
    fn open(path: &Path) -> Option<Library> {
        let path = CString::new(path.to_str()?).ok()?;
        // SAFETY: the path is a C string; what the libraries do when they are opened is theirs.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        (!handle.is_null()).then_some(Library(handle))
    }

    /// `F` must be the C type of that function.
    fn function<F: Copy>(&self, name: &str) -> Option<F> {
        assert_eq!(size_of::<F>(), size_of::<*mut c_void>());
        let name = CString::new(name).ok()?;
        // SAFETY: the handle is open and the name a C string.
        let found = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        // SAFETY: a function's address, as large as `F`, which the caller says is its type.
        (!found.is_null()).then(|| unsafe { std::mem::transmute_copy::<*mut c_void, F>(&found) })
    }
}

type Handle = *mut c_void;

pub struct LightGbm {
    model: Handle,
    fast: Handle,
    one: unsafe extern "C" fn(Handle, *const c_void, *mut i64, *mut f64) -> c_int,
    #[allow(clippy::type_complexity)]
    many: unsafe extern "C" fn(
        Handle,
        *const c_void,
        c_int,
        i32,
        i32,
        c_int,
        c_int,
        c_int,
        c_int,
        *const c_char,
        *mut i64,
        *mut f64,
    ) -> c_int,
}

const PARAMETERS: &std::ffi::CStr = c"num_threads=1";
const F64: c_int = 1;
const RAW: c_int = 1;

impl LightGbm {
    pub fn open(library: &Path, model: &Path) -> Option<LightGbm> {
        type Create = unsafe extern "C" fn(*const c_char, *mut c_int, *mut Handle) -> c_int;
        type Init = unsafe extern "C" fn(Handle, c_int, c_int, c_int, c_int, i32, *const c_char, *mut Handle) -> c_int;
        let library = Library::open(library)?;
        let create: Create = library.function("LGBM_BoosterCreateFromModelfile")?;
        let init: Init = library.function("LGBM_BoosterPredictForMatSingleRowFastInit")?;
        let file = CString::new(model.to_str()?).ok()?;
        let (mut handle, mut fast, mut iterations) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
        // SAFETY: the types are those of LightGBM's c_api.h; every pointer lives for the call.
        let made = unsafe { create(file.as_ptr(), &raw mut iterations, &raw mut handle) };
        // SAFETY: as above.
        let ready = unsafe { init(handle, RAW, 0, -1, F64, WIDTH as i32, PARAMETERS.as_ptr(), &raw mut fast) };
        let one = library.function("LGBM_BoosterPredictForMatSingleRowFast")?;
        let many = library.function("LGBM_BoosterPredictForMat")?;
        (made == 0 && ready == 0).then_some(LightGbm { model: handle, fast, one, many })
    }
}

impl Peer for LightGbm {
    fn score(&mut self, rows: &[f64], count: usize, raw: &mut [f64]) {
        let (data, mut length) = (rows.as_ptr().cast(), 0);
        // SAFETY: `rows` holds `count` rows of WIDTH and `raw` as many scores; the types are those of c_api.h.
        let failed = unsafe {
            if count == 1 {
                (self.one)(self.fast, data, &raw mut length, raw.as_mut_ptr())
            } else {
                let (rows, width, parameters) = (count as i32, WIDTH as i32, PARAMETERS.as_ptr());
                let (length, out) = (&raw mut length, raw.as_mut_ptr());
                (self.many)(self.model, data, F64, rows, width, 1, RAW, 0, -1, parameters, length, out)
            }
        };
        assert_eq!(failed, 0);
    }
}

pub struct XGBoost {
    model: Handle,
    predict: unsafe extern "C" fn(
        Handle,
        *const c_char,
        *const c_char,
        Handle,
        *mut *const u64,
        *mut u64,
        *mut *const f32,
    ) -> c_int,
    rows: Vec<f32>,
}

impl XGBoost {
    pub fn open(library: &Path, model: &Path) -> Option<XGBoost> {
        type Create = unsafe extern "C" fn(*const Handle, u64, *mut Handle) -> c_int;
        type Load = unsafe extern "C" fn(Handle, *const c_char) -> c_int;
        type Set = unsafe extern "C" fn(Handle, *const c_char, *const c_char) -> c_int;
        let library = Library::open(library)?;
        let (create, load): (Create, Load) =
            (library.function("XGBoosterCreate")?, library.function("XGBoosterLoadModel")?);
        let set: Set = library.function("XGBoosterSetParam")?;
        let file = CString::new(model.to_str()?).ok()?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: the types are those of XGBoost's c_api.h; every pointer lives for the call.
        let made = unsafe {
            create(std::ptr::null(), 0, &raw mut handle)
                | load(handle, file.as_ptr())
                | set(handle, c"nthread".as_ptr(), c"1".as_ptr())
        };
        let predict = library.function("XGBoosterPredictFromDense")?;
        (made == 0).then_some(XGBoost { model: handle, predict, rows: Vec::new() })
    }
}

impl Peer for XGBoost {
    fn score(&mut self, rows: &[f64], count: usize, raw: &mut [f64]) {
        self.rows.clear();
        self.rows.extend(rows.iter().map(|&x| x as f32));
        let array = format!(
            "{{\"data\":[{},true],\"shape\":[{count},{WIDTH}],\"typestr\":\"<f4\",\"version\":3}}\0",
            self.rows.as_ptr() as usize
        );
        let config = c"{\"type\":1,\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,\"strict_shape\":false,\"missing\":NaN,\"cache_id\":0}";
        let (mut shape, mut dimensions, mut scores) = (std::ptr::null(), 0, std::ptr::null());
        // SAFETY: the array interface names `self.rows`, which lives on; the types are those of c_api.h.
        let failed = unsafe {
            (self.predict)(
                self.model,
                array.as_ptr().cast(),
                config.as_ptr(),
                std::ptr::null_mut(),
                &raw mut shape,
                &raw mut dimensions,
                &raw mut scores,
            )
        };
        assert_eq!(failed, 0);
        // SAFETY: the library gives one score for each row, alive until its next call.
        let scores: &[f32] = unsafe { std::slice::from_raw_parts(scores, count) };
        raw.iter_mut().zip(scores).for_each(|(raw, &score)| *raw = f64::from(score));
    }
}

pub struct Lleaves {
    predict: unsafe extern "C" fn(*const f64, *mut f64, i32, i32),
}

impl Lleaves {
    pub fn open(library: &Path) -> Option<Lleaves> {
        Some(Lleaves { predict: Library::open(library)?.function("forest_root")? })
    }
}

impl Peer for Lleaves {
    fn score(&mut self, rows: &[f64], count: usize, raw: &mut [f64]) {
        // SAFETY: lleaves' compiled function reads rows of WIDTH from 0 to `count` and writes a score for each.
        unsafe { (self.predict)(rows.as_ptr(), raw.as_mut_ptr(), 0, count as i32) }
    }
}

/// What tl2cgen takes a feature as; -1 is missing.
#[derive(Clone, Copy)]
#[repr(C)]
union Entry {
    missing: c_int,
    value: f64,
}

pub struct Tl2cgen {
    predict: unsafe extern "C" fn(*mut Entry, c_int, *mut f64),
    row: [Entry; WIDTH],
}

impl Tl2cgen {
    pub fn open(library: &Path) -> Option<Tl2cgen> {
        Some(Tl2cgen { predict: Library::open(library)?.function("predict")?, row: [Entry { missing: -1 }; WIDTH] })
    }
}

impl Peer for Tl2cgen {
    fn score(&mut self, rows: &[f64], _: usize, raw: &mut [f64]) {
        for (row, raw) in rows.chunks_exact(WIDTH).zip(raw) {
            for (entry, &value) in self.row.iter_mut().zip(row) {
                *entry = if value.is_nan() { Entry { missing: -1 } } else { Entry { value } };
            }
            // SAFETY: the function reads WIDTH entries and writes one score.
            unsafe { (self.predict)(self.row.as_mut_ptr(), 1, raw) }
        }
    }
}
