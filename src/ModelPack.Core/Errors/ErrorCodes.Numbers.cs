namespace ModelPack;

public static partial class ErrorCodes
{
    // MP1040-1049: number formats.
    public static readonly ErrorCode UnrepresentableValue = new(1040, "a value that the number format cannot hold (NaN, infinity, or outside an integer type)");
    public static readonly ErrorCode OpaqueValues = new(1041, "a raw format whose elements are not real numbers (complex, string)");
}
