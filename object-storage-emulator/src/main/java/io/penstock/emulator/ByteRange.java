package io.penstock.emulator;

import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// A part of an object that a `Range` header asks for.
///
/// @param offset first byte
/// @param length in bytes, > 0
record ByteRange(long offset, long length) {
    private static final Pattern ONE_RANGE = Pattern.compile("bytes=(\\d{0,18})-(\\d{0,18})");

    /// @return empty when the whole object is to be sent: no header, or one that is not a single range of
    ///     bytes, which
    ///     RFC 9110 lets a server ignore
    /// @throws ServiceException 416 when the range lies outside
    static Optional<ByteRange> parse(String header, long size) {
        Matcher matcher = ONE_RANGE.matcher(header == null ? "" : header);
        if (!matcher.matches()
                || (matcher.group(1).isEmpty() && matcher.group(2).isEmpty())) {
            return Optional.empty();
        }
        long first;
        long last;
        if (matcher.group(1).isEmpty()) {
            long suffix = Long.parseLong(matcher.group(2));
            first = Math.max(0, size - suffix);
            last = suffix == 0 ? -1 : size - 1;
        } else {
            first = Long.parseLong(matcher.group(1));
            last = matcher.group(2).isEmpty() ? size - 1 : Math.min(size - 1, Long.parseLong(matcher.group(2)));
        }
        if (first >= size || last < first) {
            throw new ServiceException(416, "InvalidRange", "'" + header + "' lies outside of " + size + " bytes");
        }
        return Optional.of(new ByteRange(first, last - first + 1));
    }
}
