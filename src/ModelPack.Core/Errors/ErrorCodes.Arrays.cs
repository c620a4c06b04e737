namespace ModelPack;

public static partial class ErrorCodes
{
    // MP1060-1079: .npy arrays and token files.
    public static readonly ErrorCode NpyMagic = new(1060, "not a .npy file");
    public static readonly ErrorCode NpyVersion = new(1061, "a .npy format version other than 1.0, 2.0 and 3.0");
    public static readonly ErrorCode NpyHeaderTooLarge = new(1062, "a .npy header that is too long");
    public static readonly ErrorCode NpyHeader = new(1063, "a .npy header that is not the dictionary of the format");
    public static readonly ErrorCode NpyFortranOrder = new(1064, "a .npy array in column-major order");
    public static readonly ErrorCode NpyBigEndian = new(1065, "a .npy array of big-endian numbers");
    public static readonly ErrorCode NpyDType = new(1066, "a .npy element type that is not a plain number");
    public static readonly ErrorCode NpyShape = new(1067, "a .npy shape with more elements or bytes than fit in 63 bits");
    public static readonly ErrorCode NpyTrailingBytes = new(1068, "bytes after the data of a .npy array");
    public static readonly ErrorCode NpyCannotHold = new(1069, "a dtype that .npy does not have");
    public static readonly ErrorCode TokenFileLength = new(1070, "a token file that does not hold whole 16-bit ids");
}
