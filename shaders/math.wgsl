// Elementary functions over f32, for every adapter the same to a few units in the last place (ulp).
//
// Why not the built-ins: Vulkan promises sin to 2^-11 absolute only, and software drivers compute exp, log,
// tanh and pow by low-degree polynomials. Here every function is a range reduction followed by a minimax
// polynomial (W. J. Cody and W. Waite, "Software Manual for the Elementary Functions", 1980; J.-M. Muller,
// "Elementary Functions", 3rd ed., 2016). The coefficients come from a Remez exchange with relative weights,
// rounded to f32 one after the other, the rest refitted each time.
//
// Rules kept throughout:
// - A driver may contract a*b + c into one rounding or not. Products whose rounding would matter are exact
//   (short factors), so both give the same bits there.
// - A driver may move literal summands: Mesa turns 1.0 + (a + b) into (1.0 + a) + b, one more rounding. Where that
//   would matter, the summand of a literal is a product, or the constant comes out of a `select`.
// - Compilers may assume that no NaN or infinity occurs: neither is written as a literal nor compared with;
//   both are made and tested by their bits. NaN arguments give NaN wherever the compiler lets them.
// - `select` instead of branches, no loops. Denormals may be flushed to zero, as WGSL allows.
// - Every function stands alone but for the ones it calls; the crate extracts what a kernel needs.

// Bits in a function-local variable: WGSL rejects a constant expression that is not finite.
fn wg_nan() -> f32 {
    var bits = 0x7fc00000u;
    return bitcast<f32>(bits);
}

fn wg_inf() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
}

fn wg_is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// The magnitude of x with the sign bit of s.
fn wg_copysign(x: f32, s: f32) -> f32 {
    return bitcast<f32>((bitcast<u32>(x) & 0x7fffffffu) | (bitcast<u32>(s) & 0x80000000u));
}

// 2^n (1 + q) for n in [-252, 254]: by two factors, since 2^n itself may lie outside the range of f32.
fn wg_scale(q: f32, n: i32) -> f32 {
    let half = n >> 1u;
    let s = bitcast<f32>((half + 127) << 23u);
    return (s * q + s) * bitcast<f32>((n - half + 127) << 23u);
}

// e^r - 1 for |r| <= ln(2)/2.
fn wg_expm1_poly(r: f32) -> f32 {
    var p = 1.9761556e-4 * r + 1.393233e-3;
    p = p * r + 8.333546e-3;
    p = p * r + 0.041666493;
    p = p * r + 0.16666666;
    p = p * r + 0.5;
    return p * r * r + r;
}

// x - n ln(2); the high part of ln(2) has nine bits, so that its product with n is exact.
fn wg_exp_remainder(x: f32, n: f32) -> f32 {
    return x - n * 0.693359375 + n * 2.1219444e-4;
}

// e^x 2^k = 2^(n + k) e^(x - n ln(2)) for small k.
fn wg_exp_scaled(x: f32, k: i32) -> f32 {
    let n = round(x * 1.442695);
    let q = wg_expm1_poly(wg_exp_remainder(x, n));
    let y = wg_scale(q, clamp(i32(n), -200, 200) + k);
    return select(select(y, 0.0, x < -106.0), wg_inf(), x > 88.72284 - f32(k) * 0.6931472);
}

fn wg_exp(x: f32) -> f32 {
    return wg_exp_scaled(x, 0);
}

// e^x - 1 = 2^n (e^r - 1) + (2^n - 1); 2^128 is applied as 2^127 * 2.
fn wg_expm1(x: f32) -> f32 {
    let n = round(x * 1.442695);
    let q = wg_expm1_poly(wg_exp_remainder(x, n));
    let s = bitcast<f32>((clamp(i32(n), -60, 127) + 127) << 23u);
    let y = (s * q + (s - 1.0)) * select(1.0, 2.0, n > 127.0);
    return select(select(y, -1.0, x < -18.0), wg_inf(), x > 88.72284);
}

// ln(2^e (1 + f)) for 1 + f in [sqrt(1/2), sqrt(2)].
fn wg_log_poly(f: f32, e: f32) -> f32 {
    var p = 0.067491114 * f - 0.116699934;
    p = p * f + 0.11883545;
    p = p * f - 0.12406243;
    p = p * f + 0.1422036;
    p = p * f - 0.16667989;
    p = p * f + 0.20002072;
    p = p * f - 0.2500001;
    p = p * f + 0.33333313;
    let z = f * f;
    let y = p * f * z - e * 2.1219444e-4 - 0.5 * z;
    return e * 0.693359375 + (f + y);
}

fn wg_log(x: f32) -> f32 {
    let small = x < 1.1754944e-38;
    let bits = bitcast<u32>(select(x, x * 8388608.0, small));
    let offset = bits - 0x3f3504f3u; // sqrt(1/2): the mantissa's range starts there
    let e = f32(bitcast<i32>(offset) >> 23u) - select(0.0, 23.0, small);
    let m = bitcast<f32>((offset & 0x007fffffu) + 0x3f3504f3u);
    let y = wg_log_poly(m - 1.0, e);
    let finite = select(y, x, bitcast<u32>(x) >= 0x7f800000u); // infinity and NaN stay what they are
    return select(select(finite, wg_nan(), x < 0.0), -wg_inf(), x == 0.0);
}

// With 1 + x = 2^e (1 + f), f = x 2^-e + (2^-e - 1) has one rounding, so that small x lose nothing.
fn wg_log1p(x: f32) -> f32 {
    let e = bitcast<i32>(bitcast<u32>(1.0 + x) - 0x3f3504f3u) >> 23u;
    let scaled = bitcast<f32>(bitcast<i32>(x) - (e << 23u));
    let f = select(scaled, x, e == 0) + (bitcast<f32>(max(127 - e, 0) << 23u) - 1.0);
    let y = wg_log_poly(f, f32(e));
    let finite = select(y, x, bitcast<u32>(x) >= 0x7f800000u && !(x < 0.0));
    return select(select(finite, wg_nan(), x < -1.0), -wg_inf(), x == -1.0);
}

// x minus the nearest multiple n of pi/2, in four parts of which three have eleven bits: exact products for
// |n| < 2^13, that is |x| < 12800. Unless the result is small, the last two parts are one, for one rounding less.
//
// Beyond 12800 the error grows to about the distance between neighbours of x: 10^-6 at 5 * 10^4. From 10^6 on
// nothing is left, but a remainder out of range is taken as 0: sines stay within [-1, 1].
//
// Written as fma because compilers may reassociate sums of products with n to one product (Metal's does).
fn wg_pi_remainder(x: f32, n: f32) -> f32 {
    let a = fma(-n, 4.837513e-4, fma(-n, 1.5703125, x));
    let small = fma(-n, 2.563344e-12, fma(-n, 7.5495336e-8, a));
    let r = select(fma(-n, 7.549789e-8, a), small, abs(a) < 0.00390625);
    return select(r, 0.0, abs(r) > 1.0);
}

// sin(r) for |r| <= pi/4.
fn wg_sin_poly(r: f32) -> f32 {
    let z = r * r;
    let p = (-1.9518092e-4 * z + 8.332188e-3) * z - 0.16666655;
    return p * z * r + r;
}

// cos(r) for |r| <= pi/4.
fn wg_cos_poly(r: f32) -> f32 {
    let z = r * r;
    let p = (2.4432327e-5 * z - 1.388731e-3) * z + 0.041666646;
    return 1.0 + (p * z - 0.5) * z;
}

// sin(r + quadrant pi/2).
fn wg_sin_quadrant(r: f32, quadrant: i32) -> f32 {
    let y = select(wg_sin_poly(r), wg_cos_poly(r), (quadrant & 1) != 0);
    return select(y, -y, (quadrant & 2) != 0);
}

// Good to |x| = 12800; see wg_pi_remainder for larger arguments.
fn wg_sin(x: f32) -> f32 {
    let n = round(x * 0.63661975);
    return wg_sin_quadrant(wg_pi_remainder(x, n), i32(n));
}

// Good to |x| = 12800; see wg_pi_remainder for larger arguments.
fn wg_cos(x: f32) -> f32 {
    let n = round(x * 0.63661975);
    return wg_sin_quadrant(wg_pi_remainder(x, n), i32(n) + 1);
}

// Good to |x| = 12800; see wg_pi_remainder for larger arguments.
fn wg_tan(x: f32) -> f32 {
    let n = round(x * 0.63661975);
    let r = wg_pi_remainder(x, n);
    let s = wg_sin_poly(r);
    let c = wg_cos_poly(r);
    let odd = (i32(n) & 1) != 0;
    return select(s, -c, odd) / select(c, s, odd);
}

// asin(s) - s for 0 <= s <= 1/2, z = s^2.
fn wg_asin_tail(s: f32, z: f32) -> f32 {
    var p = 0.0421584 * z + 0.024184741;
    p = p * z + 0.045469154;
    p = p * z + 0.074953094;
    p = p * z + 0.16666752;
    return p * z * s;
}

// Above 1/2, asin(x) = pi/2 - 2 asin(sqrt((1 - x)/2)); 4.371139e-8 is what f32 adds to pi/2.
fn wg_asin(x: f32) -> f32 {
    let a = abs(x);
    let far = a > 0.5;
    let z = select(a * a, 0.5 - 0.5 * a, far);
    let s = select(a, sqrt(max(z, 0.0)), far);
    let tail = wg_asin_tail(s, z);
    let y = select(s + tail, (1.5707964 - 2.0 * s) - (2.0 * tail + 4.371139e-8), far);
    return select(select(wg_copysign(y, x), wg_nan(), a > 1.0), x, wg_is_nan(x));
}

// pi/2 - asin(x) up to 1/2; 2 asin(sqrt((1 - x)/2)) above; pi minus that of |x| below -1/2.
fn wg_acos(x: f32) -> f32 {
    let a = abs(x);
    let far = a > 0.5;
    let z = select(a * a, 0.5 - 0.5 * a, far);
    let s = select(a, sqrt(max(z, 0.0)), far);
    let asin = s + wg_asin_tail(s, z);
    let middle = 1.5707964 - (wg_copysign(asin, x) + 4.371139e-8);
    let outer = select(2.0 * asin, 3.1415927 - (2.0 * asin + 8.742278e-8), x < 0.0);
    return select(select(select(middle, outer, far), wg_nan(), a > 1.0), x, wg_is_nan(x));
}

// atan(a) + high + low for |a| <= 1, where high + low is a multiple of pi/2.
fn wg_atan_sum(a: f32, high: f32, low: f32) -> f32 {
    let z = a * a;
    var p = -1.782736e-3 * z + 0.010868337;
    p = p * z - 0.031096544;
    p = p * z + 0.05788118;
    p = p * z - 0.08399303;
    p = p * z + 0.109508805;
    p = p * z - 0.14264016;
    p = p * z + 0.1999853;
    p = p * z - 0.333333;
    return high + (a + (p * z * a + low));
}

// Above 1, atan(x) = pi/2 - atan(1/x).
fn wg_atan(x: f32) -> f32 {
    let a = abs(x);
    let far = a > 1.0;
    let ratio = select(a, -1.0 / a, far);
    return wg_copysign(wg_atan_sum(ratio, select(0.0, 1.5707964, far), select(0.0, -4.371139e-8, far)), x);
}

// The angle of the point (x, y), signed zeros as in C99: a multiple of pi/2, plus or minus the atan of the smaller
// coordinate over the larger.
fn wg_atan2(y: f32, x: f32) -> f32 {
    let ax = abs(x);
    let ay = abs(y);
    let large = max(ax, ay);
    let shrink = select(1.0, 0.25, large > 1e37); // division is only promised for divisors up to 2^126
    let quotient = (min(ax, ay) * shrink) / (large * shrink);
    let ratio = select(quotient, select(0.0, 1.0, large > 0.0), ax == ay);
    let left = bitcast<i32>(x) < 0;
    let steep = ay > ax;
    let high = select(select(0.0, 3.1415927, left), 1.5707964, steep);
    let low = select(select(0.0, -8.742278e-8, left), -4.371139e-8, steep);
    let angle = wg_atan_sum(select(ratio, -ratio, left != steep), high, low);
    return select(wg_copysign(angle, y), wg_nan(), wg_is_nan(x) || wg_is_nan(y));
}

fn wg_sinh(x: f32) -> f32 {
    let a = abs(x);
    let z = x * x;
    let p = ((2.7822132e-6 * z + 1.9842896e-4) * z + 8.3333105e-3) * z + 0.16666667;
    let e = wg_exp_scaled(a, -1);
    return select(wg_copysign(e - 0.25 / e, x), p * z * x + x, a < 1.0);
}

fn wg_cosh(x: f32) -> f32 {
    let e = wg_exp_scaled(abs(x), -1);
    return e + 0.25 / e;
}

fn wg_tanh(x: f32) -> f32 {
    let a = abs(x);
    let z = x * x;
    var p = -5.69554e-3 * z + 0.020629624;
    p = p * z - 0.05373662;
    p = p * z + 0.13331406;
    p = p * z - 0.3333328;
    let far = 1.0 - 2.0 / (wg_exp(2.0 * a) + 1.0);
    return select(wg_copysign(far, x), p * z * x + x, a < 0.625);
}

// asinh(x) = ln(1 + |x| + x^2 / (1 + sqrt(1 + x^2))) with the sign of x; ln(2|x|) for large x.
fn wg_asinh(x: f32) -> f32 {
    let a = abs(x);
    let large = a > 1e10;
    let z = x * x;
    let t = select(a + z / (1.0 + sqrt(1.0 + z)), a, large);
    return wg_copysign(wg_log1p(t) + select(0.0, 0.6931472, large), x);
}

// acosh(x) = ln(1 + t + sqrt(2t + t^2)) with t = x - 1; ln(2x) for large x.
fn wg_acosh(x: f32) -> f32 {
    let large = x > 1e10;
    let t = x - 1.0;
    let y = wg_log1p(select(t + sqrt(max(2.0 * t + t * t, 0.0)), x, large)) + select(0.0, 0.6931472, large);
    return select(y, wg_nan(), x < 1.0);
}

// atanh(x) = ln(1 + 2x / (1 - x)) / 2, with |x| and the sign of x.
fn wg_atanh(x: f32) -> f32 {
    let a = abs(x);
    let y = 0.5 * wg_log1p(2.0 * a / (1.0 - a));
    return select(select(wg_copysign(y, x), wg_copysign(wg_inf(), x), a == 1.0), wg_nan(), a > 1.0);
}

// Through e^-|x|, which cannot overflow.
fn wg_sigmoid(x: f32) -> f32 {
    let e = wg_exp(-abs(x));
    return select(1.0, e, x < 0.0) / (1.0 + e);
}

// Below 1 a polynomial of erf(x)/x, above it 1 - e^q(x) with q a polynomial of ln(erfc(x)).
fn wg_erf(x: f32) -> f32 {
    let a = abs(x);
    let z = x * x;
    var p = 7.8553574e-5 * z - 8.0083654e-4;
    p = p * z + 5.187878e-3;
    p = p * z - 0.026853494;
    p = p * z + 0.11283579;
    p = p * z - 0.37612626;
    p = p * z + 0.12837917;
    let x8 = 8.0 * x; // so that the product with p, at most 1/8, is no denormal while x is none
    var q = 1.8636887e-4 * a - 2.9475745e-3;
    q = q * a + 0.021837795;
    q = q * a - 0.10310632;
    q = q * a - 0.6381452;
    q = q * a - 1.127089;
    q = q * a - 3.4155336e-4;
    let far = select(1.0 - wg_exp(q), 1.0, a > 4.0);
    return select(wg_copysign(far, x), (p * x8 + x8) * 0.125, a < 1.0);
}

// The upper twelve bits of x's mantissa: products of two such values are exact.
fn wg_high(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
}

// Below 1/2 the complement of erf; above, e^(-a^2) p / (1 + 2a) with p a polynomial of (a - 2) / (a + 2), after
// M. M. Shepherd and J. G. Laframboise, Math. Comp. 36 (1981). The square of a's upper half is exact, and the rest of
// a^2 small, so that the exponential is good to its last place. From 10.1 on nothing is left.
fn wg_erfc(x: f32) -> f32 {
    let a = min(abs(x), 11.0);
    let t = (a - 2.0) / (a + 2.0);
    var p = -1.311502e-3 * t + 9.437106e-4;
    p = p * t + 8.690045e-3;
    p = p * t - 7.9444945e-3;
    p = p * t - 0.054217495;
    p = p * t + 0.16404186;
    p = p * t - 0.16603045;
    p = p * t - 0.09276356;
    p = p * t + 1.2769784;
    let high = wg_high(a);
    let low = (a - high) * (a + high);
    let y = wg_exp(-(high * high)) * (p / (1.0 + 2.0 * a));
    let tail = select(y + y * wg_expm1_poly(-low), 1.0 - wg_erf(a), a < 0.5);
    return select(select(tail, 2.0 - tail, x < 0.0), x, wg_is_nan(x));
}

// log2(a) for a > 0 as a sum of a twelve-bit high part and a low part.
//
// The mantissa m lies around a center c, 1 or 1.5, and ln(m/c) = 2 atanh(s) with s = (m - c) / (m + c); s is
// carried in two parts, so that the sum is good to about 2^-32 relative.
fn wg_log2_parts(a: f32) -> vec2<f32> {
    let small = a < 1.1754944e-38;
    let offset = bitcast<u32>(select(a, a * 8388608.0, small)) - 0x3f5db3d7u; // sqrt(3)/2
    let e = f32(bitcast<i32>(offset) >> 23u) - select(0.0, 23.0, small);
    let m = bitcast<f32>((offset & 0x007fffffu) + 0x3f5db3d7u);
    let upper = m > 1.2247449; // sqrt(3/2)
    let c = select(1.0, 1.5, upper);
    let f = m - c;
    let v = 1.0 / (m + c);
    let s = f * v;
    let s_high = wg_high(s);
    let sum_high = wg_high(m + c);
    let sum_low = m - (sum_high - c);
    let s_low = ((f - s_high * sum_high) - s_high * sum_low) * v;
    // 2/ln(2) = 2.8857421875 - 3.5210572e-4, log2(1.5) = 0.5849609375 + 1.5632212e-6.
    let z = s * s;
    let p = (0.41866514 * z + 0.577039) * z + 0.96179676;
    let high = s_high * 2.8857421875;
    let low = s_low * 2.88539 - s_high * 3.5210572e-4 + p * z * s + select(0.0, 1.5632212e-6, upper);
    let base = e + select(0.0, 0.5849609375, upper);
    let t = wg_high(base + (high + low));
    return vec2<f32>(t, low - ((t - base) - high));
}

// x^exponent as in C99: x^0 = 1 and 1^y = 1 for every x and y, a negative base takes an integer exponent.
fn wg_pow(x: f32, exponent: f32) -> f32 {
    let a = abs(x);
    let y = clamp(exponent, -3.4028235e38, 3.4028235e38); // so that no difference below is infinity - infinity
    let log2 = wg_log2_parts(a);
    // y log2(a) = high + low with an exact high product.
    let y_high = wg_high(y);
    let high = y_high * log2.x;
    let low = (y - y_high) * log2.x + y * log2.y;
    let total = high + low;
    let n = round(total);
    let q = wg_expm1_poly(((high - n) + low) * 0.6931472);
    var p = wg_scale(q, clamp(i32(n), -200, 200));
    p = select(select(p, 0.0, total < -151.0), wg_inf(), total > 128.0);
    // Bases 0 and infinity.
    let infinite = bitcast<u32>(a) == 0x7f800000u;
    p = select(p, select(0.0, wg_inf(), infinite != (y < 0.0)), a == 0.0 || infinite);
    // Negative bases.
    let integer = floor(y) == y;
    let odd = integer && floor(0.5 * y) != 0.5 * y;
    p = select(p, wg_nan(), x < 0.0 && !(integer || infinite));
    p = select(p, -p, bitcast<i32>(x) < 0 && odd);
    p = select(p, wg_nan(), wg_is_nan(x) || wg_is_nan(exponent));
    return select(p, 1.0, exponent == 0.0 || x == 1.0);
}

// 1 / sqrt(x).
fn wg_rsqrt(x: f32) -> f32 {
    return select(1.0 / sqrt(x), wg_copysign(wg_inf(), x), x == 0.0);
}
