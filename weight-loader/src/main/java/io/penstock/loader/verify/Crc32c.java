package io.penstock.loader.verify;

/// Arithmetic on CRC32C values: the checksum of a whole from those of its pieces, without reading the bytes
/// again.
///
/// Appending n bytes to a message multiplies its remainder by x^(8n) in GF(2)[x] modulo the polynomial;
/// that product is a linear map, so "n zero bytes" composes by squaring. The method is that of zlib's
/// `crc32_combine`.
public final class Crc32c {
    /// Castagnoli's polynomial, bit-reversed: bit 31 stands for x^0.
    private static final int POLYNOMIAL = 0x82F63B78;

    private Crc32c() {}

    /// @param first CRC32C of the bytes before
    /// @param second CRC32C of the bytes after
    /// @param secondLength how many bytes `second` covers, >= 0
    /// @return CRC32C of both, one after the other
    public static int combine(int first, int second, long secondLength) {
        return multiply(zeros(secondLength), first) ^ second;
    }

    /// @param length count of bytes
    /// @return x^(8 * length) modulo the polynomial
    public static int zeros(long length) {
        // x^8 is the effect of one byte; square and multiply over the bits of the length.
        int power = 1 << (31 - 8);
        int result = 1 << 31;
        for (long rest = length; rest != 0; rest >>>= 1) {
            if ((rest & 1) != 0) {
                result = multiply(power, result);
            }
            power = multiply(power, power);
        }
        return result;
    }

    /// Product of two polynomials modulo the CRC's.
    static int multiply(int a, int b) {
        int product = 0;
        int shifted = b;
        for (int bit = 31; bit >= 0; bit--) {
            if ((a >>> bit & 1) != 0) {
                product ^= shifted;
            }
            shifted = (shifted & 1) != 0 ? shifted >>> 1 ^ POLYNOMIAL : shifted >>> 1;
        }
        return product;
    }
}
