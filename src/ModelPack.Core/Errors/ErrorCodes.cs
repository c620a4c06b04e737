namespace ModelPack;

/// <summary>
/// All error codes, one partial file per area. A code has exactly one meaning, is never reused, and has a test that provokes it.
/// </summary>
public static partial class ErrorCodes
{
    // MP1000-1019: any file.
    public static readonly ErrorCode FileNotFound = new(1001, "no such file or folder");
    public static readonly ErrorCode FileUnreadable = new(1002, "a file cannot be opened or read");
    public static readonly ErrorCode FileTruncated = new(1003, "a file ends before the data it announces");
    public static readonly ErrorCode UnknownFileKind = new(1004, "not a file kind ModelPack reads");
    public static readonly ErrorCode FileUnwritable = new(1005, "a file or folder cannot be written");

    // MP1020-1039: values and encodings.
    public static readonly ErrorCode BadEncoding = new(1020, "an encoding tree does not describe its streams");
    public static readonly ErrorCode UnknownUnit = new(1021, "an unknown number format, structure or codec");
    public static readonly ErrorCode BadUnitArgument = new(1022, "a wrong argument of a number format, structure or codec");
    public static readonly ErrorCode BadStream = new(1023, "a stream's bytes are not valid for its number format");
    public static readonly ErrorCode BadSparseIndex = new(1024, "the mask of a sparse tensor is not what its structure asks for, or does not fit its values");
}
